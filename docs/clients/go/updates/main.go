// Follow the vectors of all users: go run ./updates BROKER TOPIC
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
)

type found struct {
	Key            string    `json:"key"`
	User           string    `json:"user_id,omitempty"`
	Bundle         string    `json:"bundle_id,omitempty"`
	Steps          int64     `json:"steps,omitempty"`
	Representation []byte    `json:"representation,omitempty"` // encoding/json reads base64 into bytes
	Vector         []float32 `json:"vector"`
}

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.ConsumeTopics(os.Args[2]),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	check(err)
	for {
		fetches := client.PollFetches(context.Background())
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			update := found{Key: string(record.Key)}
			if record.Value != nil { // without a value, the bundle has forgotten the user
				check(json.Unmarshal(record.Value, &update))
				update.Vector = make([]float32, len(update.Representation)/4)
				check(binary.Read(bytes.NewReader(update.Representation), binary.LittleEndian, update.Vector))
				update.Representation = nil
			}
			check(json.NewEncoder(os.Stdout).Encode(update))
		})
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
