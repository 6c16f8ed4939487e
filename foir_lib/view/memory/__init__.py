"""The tab Talk: a conversation with a memory, beside the pictures that it is about."""
