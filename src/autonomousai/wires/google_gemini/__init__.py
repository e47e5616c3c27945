"""Google's Gemini API, as its clients speak it (Gemini API reference, "Generating content")."""
