// Follow the vectors of all users: node updates.js BROKER TOPIC
const { randomUUID } = require("node:crypto");
const { Kafka, logLevel } = require("kafkajs");

async function main([broker, topic]) {
  // KafkaJS reads in a group alone. A new group begins with the first record. Aborted transactions are left out.
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.WARN });
  const consumer = kafka.consumer({ groupId: `updates-${randomUUID()}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const eachMessage = async ({ message }) => {
    const found = { key: message.key.toString(), vector: null }; // without a value, the bundle has forgotten the user
    if (message.value !== null) {
      const { user_id, bundle_id, steps, representation } = JSON.parse(message.value.toString());
      const bytes = Buffer.from(representation, "base64");
      const vector = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
      Object.assign(found, { user_id, bundle_id, steps, vector });
    }
    console.log(JSON.stringify(found));
  };
  await consumer.run({ autoCommit: false, eachMessage });
}

main(process.argv.slice(2));
