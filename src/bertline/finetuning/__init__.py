"""From an encoder to the model of a task: one trainer for every kind of head, several seeds."""
