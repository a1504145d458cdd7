import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.time.LocalDate;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The flagship (examples/transaction_alerts.rs) in Kafka Streams: at a user's eleventh transaction of a day, an alert.
 *
 * <p>Arguments are KEY=VALUE: {@code input}, {@code output}, {@code rekey} (whether the records come without the user as
 * their key), and whatever Kafka Streams takes. Ten times a second it says how many transactions it has counted.
 */
public final class TransactionAlerts {
    record Transaction(
            String id,
            String user,
            long at,
            double amount,
            String currency,
            String merchant,
            String channel,
            String status) {}

    record Alert(String user, String day, long count) {}

    private static final long LIMIT = 10;
    private static final Duration DAY = Duration.ofDays(1);
    private static final byte[] NOTHING = {};
    private static final ObjectMapper JSON = new ObjectMapper();

    private static final LongAdder counted = new LongAdder();

    static Topology topology(String input, String output, boolean rekey) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Transaction> transactions = builder.stream(
                input,
                Consumed.with(Serdes.String(), json(Transaction.class))
                        .withTimestampExtractor((record, newest) -> ((Transaction) record.value()).at()));
        // Nothing but the key is counted, so nothing else goes through the repartition topic, if there is one.
        KStream<String, byte[]> users = rekey
                ? transactions.map((key, transaction) -> KeyValue.pair(transaction.user(), NOTHING))
                : transactions.mapValues(transaction -> NOTHING);
        users.groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
                .windowedBy(TimeWindows.ofSizeAndGrace(DAY, Duration.ofMinutes(5)))
                // A cache would show the last count of a second only, and hide the eleventh behind the twelfth.
                .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("counts").withCachingDisabled())
                .toStream()
                .filter((pane, count) -> {
                    counted.increment();
                    return count == LIMIT + 1;
                })
                .map((pane, count) -> KeyValue.pair(
                        pane.key(), new Alert(pane.key(), day(pane.window().start()), count)))
                .to(output, Produced.with(Serdes.String(), json(Alert.class)));
        return builder.build();
    }

    private static String day(long startMillis) {
        return LocalDate.ofEpochDay(startMillis / DAY.toMillis()).toString();
    }

    private static <T> Serde<T> json(Class<T> type) {
        return Serdes.serdeFrom(
                (topic, value) -> {
                    try {
                        return JSON.writeValueAsBytes(value);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                },
                (topic, bytes) -> {
                    try {
                        return JSON.readValue(bytes, type);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                });
    }

    public static void main(String[] arguments) throws InterruptedException {
        Map<String, String> own = new HashMap<>(Map.of("rekey", "false"));
        Properties config = new Properties();
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "1000");
        config.put("auto.offset.reset", "earliest");
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            switch (parts[0]) {
                case "input", "output", "rekey" -> own.put(parts[0], parts[1]);
                default -> config.put(parts[0], parts[1]);
            }
        }
        Topology topology = topology(own.get("input"), own.get("output"), Boolean.parseBoolean(own.get("rekey")));
        KafkaStreams streams = new KafkaStreams(topology, config);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
        streams.start();
        while (streams.state() != KafkaStreams.State.ERROR) {
            Thread.sleep(100);
            System.out.println(counted.sum());
        }
        System.exit(1);
    }
}
