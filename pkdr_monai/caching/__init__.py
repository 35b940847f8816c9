"""The fast data path of training: each case prepared once, kept small, and read only where a crop needs it."""

from pkdr_monai.caching.case_cache import cache_cases
from pkdr_monai.caching.preparation import Preparation
from pkdr_monai.caching.teacher_outputs import CachedTeacherBatch, TeacherOutputs
from pkdr_monai.caching.transforms import CropCachedd, LoadCachedd, PrefetchDataLoader, reading_crops

__all__ = [
    "CachedTeacherBatch",
    "CropCachedd",
    "LoadCachedd",
    "PrefetchDataLoader",
    "Preparation",
    "TeacherOutputs",
    "cache_cases",
    "reading_crops",
]
