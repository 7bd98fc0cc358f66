import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Prints each alert once. Usage: java -cp KAFKA_CLIENTS_AND_JACKSON Alerts.java BROKERS [TOPIC]. */
class Alerts {
    public static void main(String[] args) throws Exception {
        var json = new ObjectMapper().enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);
        var bytes = new ByteArrayDeserializer();
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", args[0], "group.id", "alerts-java", "auto.offset.reset", "earliest",
            "isolation.level", "read_committed", "enable.auto.commit", false);
        var seen = new HashSet<Object>(); // in a real program a unique key in your database
        try (var consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            consumer.subscribe(List.of(args.length > 1 ? args[1] : "alerts"));
            while (true) {
                for (var message : consumer.poll(Duration.ofSeconds(1))) {
                    Map<?, ?> alert = json.readValue(message.value(), Map.class);
                    if (seen.add(alert.get("alert_id")))
                        System.out.println(alert.get("alert_id") + " " + alert.get("transaction_id") + " " + alert.get("amount"));
                }
                consumer.commitSync(); // after the work: what a crash interrupts comes again
            }
        }
    }
}
