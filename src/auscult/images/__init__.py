"""Pictures in the place of sound: decoded, brought to one size, and stored with their label images."""
