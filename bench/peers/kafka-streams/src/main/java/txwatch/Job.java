package txwatch;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigDecimal;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The job in Kafka Streams: a processor with a state store, emptied by a punctuator at each window's end by the wall
 * clock. The DSL's windows close by stream time only, and never in silence.
 */
public final class Job {
  private static final long WINDOW_MS = 10_000;
  private static final BigDecimal LIMIT = new BigDecimal(8_000);
  private static final ObjectMapper JSON = new ObjectMapper();

  private Job() {}

  private static final class Sums implements Processor<String, byte[], String, String> {
    private ProcessorContext<String, String> context;
    private KeyValueStore<String, String> sums;
    private long windowEnd;
    private long watermark = Long.MIN_VALUE;

    @Override
    public void init(ProcessorContext<String, String> given) {
      context = given;
      sums = given.getStateStore("sums");
      windowEnd = next(given.currentSystemTimeMs());
      given.schedule(Duration.ofMillis(100), PunctuationType.WALL_CLOCK_TIME, this::tick);
    }

    private static long next(long now) {
      return now - now % WINDOW_MS + WINDOW_MS;
    }

    @Override
    public void process(Record<String, byte[]> record) {
      try {
        JsonNode value = JSON.readTree(record.value());
        watermark = Math.max(watermark, value.get("timestamp").asLong() - 1_000);
        String before = sums.get(record.key());
        BigDecimal amount = new BigDecimal(value.get("amount").asText());
        sums.put(record.key(), (before == null ? amount : new BigDecimal(before).add(amount)).toString());
      } catch (java.io.IOException error) {
        throw new java.io.UncheckedIOException(error);
      }
    }

    private void tick(long now) {
      if (now < windowEnd) {
        return;
      }
      windowEnd = next(now);
      List<String> keys = new ArrayList<>();
      try (KeyValueIterator<String, String> all = sums.all()) {
        while (all.hasNext()) {
          KeyValue<String, String> one = all.next();
          keys.add(one.key);
          if (new BigDecimal(one.value).compareTo(LIMIT) > 0) {
            String text = "{\"transaction_id\":\"" + one.key + "\",\"amount\":" + one.value + ",\"watermark\":" + watermark + "}";
            context.forward(new Record<>(one.key, text, now));
          }
        }
      }
      keys.forEach(sums::delete);
    }
  }

  public static void main(String[] arguments) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("KAFKA_GROUP_ID"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("KAFKA_BOOTSTRAP_SERVERS"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("BENCH_STATE"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put("auto.offset.reset", "earliest");
    Topology topology = new Topology();
    topology.addSource("in", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), System.getenv("TOPICS_TRANSACTIONS"));
    topology.addProcessor("sums", Sums::new, "in");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("sums"), Serdes.String(), Serdes.String()), "sums");
    topology.addSink("out", System.getenv("TOPICS_ALERTS"), Serdes.String().serializer(), Serdes.String().serializer(), "sums");
    KafkaStreams streams = new KafkaStreams(topology, settings);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
    streams.start();
  }
}
