"""Events of trainings and results, on Kafka, Pub/Sub or in a file. Not the events of a recording."""
