// Read the vector of a user: go run ./vector HOST PORT KEYSPACE USER
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

func main() {
	cluster := gocql.NewCluster(os.Args[1] + ":" + os.Args[2])
	cluster.Keyspace = os.Args[3]
	session, err := cluster.CreateSession()
	check(err)
	defer session.Close()
	var bundle string
	var width, steps int64
	var vector []float32
	check(session.Query("SELECT bundle_id FROM active_bundle WHERE name = 'active'").Scan(&bundle))
	check(session.Query("SELECT width FROM bundles WHERE bundle_id = ?", bundle).Scan(&width))
	query := fmt.Sprintf("SELECT representation, steps FROM representations_%d WHERE user_id = ? AND bundle_id = ?", width)
	err = session.Query(query, os.Args[4], bundle).Scan(&vector, &steps)
	if !errors.Is(err, gocql.ErrNotFound) {
		check(err)
	}
	answer := map[string]any{"user_id": os.Args[4], "bundle_id": bundle, "steps": steps, "vector": vector}
	check(json.NewEncoder(os.Stdout).Encode(answer))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
