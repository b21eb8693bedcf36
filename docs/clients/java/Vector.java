// Read the vector of a user: java -cp 'lib/*' Vector.java HOST PORT KEYSPACE USER
import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.data.CqlVector;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.InetSocketAddress;

class Vector {
    public static void main(String[] arguments) throws Exception {
        var json = new ObjectMapper();
        var address = new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
        var opening = CqlSession.builder().addContactPoint(address).withLocalDatacenter("datacenter1");
        try (var session = opening.withKeyspace(arguments[2]).build()) {
            var active = session.execute("SELECT bundle_id FROM active_bundle WHERE name = 'active'").one();
            var bundle = active.getString("bundle_id");
            var width = session.execute("SELECT width FROM bundles WHERE bundle_id = ?", bundle).one().getInt("width");
            var query = "SELECT representation, steps FROM representations_" + width
                + " WHERE user_id = ? AND bundle_id = ?";
            var row = session.execute(query, arguments[3], bundle).one();
            CqlVector<Float> vector = row == null ? null : row.getVector("representation", Float.class);
            var answer = json.createObjectNode().put("user_id", arguments[3]).put("bundle_id", bundle);
            answer.put("steps", row == null ? 0 : row.getLong("steps"));
            answer.set("vector", json.valueToTree(vector == null ? null : vector.stream().toList()));
            System.out.println(answer);
        }
    }
}
