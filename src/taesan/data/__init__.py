"""Any file becomes rows with their physical line numbers, or a report of every error in it; checks, splits, samples.

files → encoding → lines → delimited | jsonl | plain → columns → values → rows
"""

from taesan.data.checks import check_classes, check_examples, check_overlap, check_same_file, shared_positions
from taesan.data.plain import read_lines
from taesan.data.report import Report
from taesan.data.rows import read_rows, read_stream
from taesan.data.schema import Field, Row
from taesan.data.split import stratified_sample, stratified_split

__all__ = [
    "Field",
    "Report",
    "Row",
    "check_classes",
    "check_examples",
    "check_overlap",
    "check_same_file",
    "read_lines",
    "read_rows",
    "read_stream",
    "shared_positions",
    "stratified_sample",
    "stratified_split",
]
