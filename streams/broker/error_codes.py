"""What the error codes of a broker mean, and what to do about an error.

aiokafka 0.14 knows no code above 79 and not all codes below, and gives an `UnknownError` without the code. kafka-python
knows all codes of Kafka 4. The table of the codes stands in the protocol: https://kafka.apache.org/protocol#protocol_error_codes
"""

import aiokafka.errors
import kafka.errors

# The remedies by error code. The classes of the two client libraries have the codes in common.
REMEDIES = {
    10: "set max.message.bytes of the topic (or message.max.bytes of the brokers) to at least 1048588",
    29: "give the user Describe and Read or Write on the topic",
    30: "give the user Describe and Read on the group",
    31: "give the user the right on the cluster: IdempotentWrite to write, Create to create topics",
    32: "look at message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic, and at the clock of "
    "this machine",
    44: "look at the brokers' policies for topics (create.topic.policy.class.name)",
    53: "give the user Describe and Write on the transactional id",
    76: "name another codec: compression (THALWEG_COMPRESSION)",
    87: "look at cleanup.policy and at the message.timestamp settings of the topic: compaction refuses records without "
    "a key",
}


def learn_newer_codes() -> None:
    """Let aiokafka make an error of its own for every code that kafka-python knows. A second call changes nothing."""
    for code, known in kafka.errors.kafka_errors.items():
        if code is not None and code not in aiokafka.errors.kafka_errors:
            aiokafka.errors.kafka_errors[code] = type(
                known.__name__,
                (aiokafka.errors.BrokerResponseError,),
                {
                    "errno": code,
                    "message": known.message,
                    "description": known.description or "",
                    "retriable": known.retriable,
                    "invalid_metadata": known.invalid_metadata,
                },
            )


def describe(error: BaseException) -> str:
    """An error of aiokafka or of kafka-python as a text, with code, meaning and remedy where these are known.

    aiokafka's producer hides some errors behind a KafkaError "Unexpected error during batch delivery". The text is then
    about the hidden error.
    """
    cause = error.__cause__
    if isinstance(cause, aiokafka.errors.KafkaError):
        return describe(cause)
    code = getattr(error, "errno", None)
    if code is None:
        return repr(error)
    parts = [str(error), getattr(error, "description", None), REMEDIES.get(code)]
    return "; ".join(part.strip().rstrip(".") for part in parts if part)
