// Follow the vectors of all users: java -cp 'lib/*' Updates.java BROKER TOPIC
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

class Updates {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0], "isolation.level", "read_committed");
        var json = new ObjectMapper();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            var partitions = consumer.partitionsFor(arguments[1]).stream();
            consumer.assign(partitions.map(one -> new TopicPartition(one.topic(), one.partition())).toList());
            consumer.seekToBeginning(consumer.assignment());
            while (true) for (var record : consumer.poll(Duration.ofSeconds(1))) {
                var found = json.createObjectNode().put("key", record.key());
                var vector = record.value() == null ? null : found.putArray("vector");
                if (vector == null) found.putNull("vector"); // without a value, the bundle has forgotten the user
                else {
                    var update = json.readTree(record.value());
                    for (var name : new String[] {"user_id", "bundle_id", "steps"}) found.set(name, update.get(name));
                    var bytes = ByteBuffer.wrap(update.get("representation").binaryValue());
                    var floats = bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
                    while (floats.hasRemaining()) vector.add(floats.get());
                }
                System.out.println(found);
            }
        }
    }
}
