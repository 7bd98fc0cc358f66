"""The tests of txwatch: `core` and `unit` need no broker, `integration` and `exactly_once` use a real one."""
