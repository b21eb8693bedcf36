"""The columns of an archive's Parquet files."""

import pyarrow as pa

EVENT, ERASURE, REJECTED, SKIPPED = "event", "erasure", "rejected", "skipped"

_NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("kind", _NAME),
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("action", _NAME),
        ("event_time_ms", pa.int64()),
        ("session_id", pa.string()),
        ("category", pa.string()),
        ("price", pa.float64()),
        ("attributes", pa.string()),  # a JSON object
        ("topic", _NAME),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("line", pa.int32()),  # the number of the event in its record, from 0
        ("record_timestamp_ms", pa.int64()),
        ("field", pa.string()),  # of a rejected record; of a skipped record, the value that decided
        ("reason", pa.string()),
    ]
)
