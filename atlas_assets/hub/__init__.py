"""The Hugging Face Hub: what is published there, brought here and sent back."""
