"""Any file becomes rows with their physical line numbers, or a report of every error in it; checks, splits, samples.

files → encoding → lines → delimited | jsonl | plain → columns → values → rows
"""

from taesan.data.answers import check_context_overlap, check_contexts
from taesan.data.checks import check_classes, check_duplicates, check_overlap, check_same_file, shared_positions
from taesan.data.plain import read_lines
from taesan.data.predictions import check_predictions, read_predictions
from taesan.data.report import Report
from taesan.data.rows import read_rows, read_stream
from taesan.data.schema import Answer, Field, Row, Span
from taesan.data.split import grouped_split, stratified_folds, stratified_sample, stratified_split
from taesan.data.writing import row_lines

__all__ = [
    "Answer",
    "Field",
    "Report",
    "Row",
    "Span",
    "check_classes",
    "check_context_overlap",
    "check_contexts",
    "check_duplicates",
    "check_overlap",
    "check_predictions",
    "check_same_file",
    "grouped_split",
    "read_lines",
    "read_predictions",
    "read_rows",
    "read_stream",
    "row_lines",
    "shared_positions",
    "stratified_folds",
    "stratified_sample",
    "stratified_split",
]
