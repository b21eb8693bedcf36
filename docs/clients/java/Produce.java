// Send behaviour events, one JSON object per line: java -cp 'lib/*' Produce.java BROKER TOPIC < events.jsonl
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

class Produce {
    public static void main(String[] arguments) throws Exception {
        // The defaults are acks of all replicas, idempotence, and murmur2 of the key. By default nothing is compressed.
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", arguments[0], "acks", "all", "enable.idempotence", true, "compression.type", "gzip");
        var json = new ObjectMapper();
        var sent = new ArrayList<Future<?>>();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (String line; (line = lines.readLine()) != null; ) {
                var user = json.readTree(line).get("user_id").asText();
                sent.add(producer.send(new ProducerRecord<>(arguments[1], user, line)));
            }
            producer.flush();
        }
        for (var future : sent) future.get(); // throws the error of a record that was not written
        System.out.println(sent.size() + " events sent");
    }
}
