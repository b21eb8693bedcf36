// Read the vector of a user: node vector.js HOST PORT KEYSPACE USER
const { Client } = require("cassandra-driver");

async function main([host, port, keyspace, user_id]) {
  const client = new Client({ contactPoints: [`${host}:${port}`], localDataCenter: "datacenter1", keyspace });
  const first = async (query, values) => (await client.execute(query, values, { prepare: true })).first();
  const { bundle_id } = await first("SELECT bundle_id FROM active_bundle WHERE name = 'active'", []);
  const { width } = await first("SELECT width FROM bundles WHERE bundle_id = ?", [bundle_id]);
  const query = `SELECT representation, steps FROM representations_${width} WHERE user_id = ? AND bundle_id = ?`;
  const row = await first(query, [user_id, bundle_id]);
  const vector = row && Array.from(row.representation);
  console.log(JSON.stringify({ user_id, bundle_id, steps: row ? Number(row.steps) : 0, vector }));
  await client.shutdown();
}

main(process.argv.slice(2));
