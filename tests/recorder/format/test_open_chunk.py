"""A chunk that is still open reads as far as it was flushed, wherever the decoder's own pieces happen to end."""

import os
import random
from pathlib import Path

from recorder.format.writer import Entry
from tests.recorder.format.tape_tools import NOW, read, segment_at


def test_everything_that_was_flushed_of_an_open_chunk_reads(tmp_path: Path) -> None:
    for seed in range(60):
        choice = random.Random(seed)
        sizes = [choice.choice((20, 100, 5000, 32767, 32768)) for _ in range(choice.randrange(1, 7))]
        segment = segment_at(tmp_path / f"{seed}.tape")
        bodies = [os.urandom(size) for size in sizes]
        for number, body in enumerate(bodies):
            segment.append([Entry(number, 2, 1, body)], NOW)
            if choice.random() < 0.3:
                segment.flush()
        segment.flush()
        segment.abandon()
        assert [frame.body for frame in read(tmp_path / f"{seed}.tape").frames] == bodies, f"seed {seed}"
