// Send behaviour events, one JSON object per line: node produce.js BROKER TOPIC < events.jsonl
const readline = require("node:readline");
const { CompressionTypes, Kafka, Partitioners } = require("kafkajs");

async function main([broker, topic]) {
  const kafka = new Kafka({ brokers: [broker] });
  // DefaultPartitioner is murmur2 of the key. LegacyPartitioner is another rule.
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true });
  await producer.connect();
  const messages = [];
  for await (const line of readline.createInterface({ input: process.stdin })) {
    messages.push({ key: JSON.parse(line).user_id, value: line });
  }
  for (let start = 0; start < messages.length; start += 1000) {
    const part = messages.slice(start, start + 1000);
    await producer.send({ topic, acks: -1, compression: CompressionTypes.GZIP, messages: part });
  }
  await producer.disconnect();
  console.log(`${messages.length} events sent`);
}

main(process.argv.slice(2));
