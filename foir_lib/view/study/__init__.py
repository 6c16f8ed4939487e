"""The user study of pixel retrieval (thesis, section 2.3): its questions, what is recorded, what it says, and its page."""
