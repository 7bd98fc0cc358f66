"""Bytes to core values and back.

What a record must look like, what is wrong with a bad one, what an alert looks like, what a committed offset carries.
Knows no Kafka client: records that come in are bytes, records that go out are OutRecord.
"""
