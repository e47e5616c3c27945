"""autonomousai: stream answers from language models, and know when they are whole."""
