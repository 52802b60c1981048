"""What a conversation costs as it grows: the same figures at 100 to 100,000 messages, as plots."""
