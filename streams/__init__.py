"""Continual supervised learning: image data sets and streams of tasks over them."""

from streams.data import DATA, DataSet, Images, load
from streams.registry import STREAMS, StreamSpec, make_stream
from streams.tasks import Stream, Task

__all__ = [
    "DATA",
    "STREAMS",
    "DataSet",
    "Images",
    "Stream",
    "StreamSpec",
    "Task",
    "load",
    "make_stream",
]
