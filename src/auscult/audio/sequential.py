"""Sound files that are read from their beginning to their end."""

from __future__ import annotations

import soundfile


class SequentialFile(soundfile.SoundFile):
    """A sound file that is never sought in.

    After each block soundfile seeks to where it already is. In an MP3 that decodes frames a second time, and libmpg123
    then complains on the terminal of files that are whole.
    """

    def seekable(self) -> bool:
        """Return False, so that no block is followed by a seek."""
        return False
