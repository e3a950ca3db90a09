"""What travels: the Redis protocol (RESP2, RESP3), its commands, and the messages between members. No I/O, no clock."""
