// Send behaviour events, one JSON object per line: go run ./produce BROKER TOPIC < events.jsonl
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	// The defaults are acks of all replicas, idempotence, and murmur2 of the key. The default codec is snappy.
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.DefaultProduceTopic(os.Args[2]),
		kgo.ProducerBatchCompression(kgo.GzipCompression()))
	check(err)
	var sent []*kgo.Record
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20) // without this, a line above 64 KiB ends the loop
	for lines.Scan() {
		var event struct {
			User string `json:"user_id"`
		}
		check(json.Unmarshal(lines.Bytes(), &event))
		sent = append(sent, kgo.KeyStringRecord(event.User, lines.Text()))
	}
	check(lines.Err())
	check(client.ProduceSync(context.Background(), sent...).FirstErr())
	fmt.Println(len(sent), "events sent")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
