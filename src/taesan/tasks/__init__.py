"""The tasks, by name."""

from taesan.tasks.base import Task
from taesan.tasks.classification import CLASSIFICATION
from taesan.tasks.generation import GENERATION
from taesan.tasks.ner import NER
from taesan.tasks.pair import PAIR
from taesan.tasks.qa import QA

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, PAIR, NER, QA, GENERATION)}
