"""The command line: parses and prints, nothing else. A verb is imported when it runs; `--help` loads neither torch."""

import argparse
import dataclasses
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from taesan import __version__
from taesan.config import FitConfig, GenerationOptions, LoopConfig, PretrainConfig, ServeLimits, resolve
from taesan.errors import DataError, StorageError, TaesanError, UsageError, escape

if TYPE_CHECKING:
    from taesan.engine.decoding import Candidate

TASKS = ("classification", "pair", "ner", "qa", "generation")
METHODS = ("finetune", "lora", "prefix", "prompt", "in-context")
BASELINES = ("majority", "tfidf")
FORMATS = ("csv", "tsv", "jsonl", "text", "squad", "conll", "markup", "parquet")
OBJECTIVES = ("masked", "causal")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
DEVICES = "where torch computes: cpu, cuda, mps; auto: the ONNX graph where there is one, else torch on the CPU"
OUR_BUG = 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status comes back. No error that a user can cause shows a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold bytes that are no UTF-8
    parser = _parser()
    options = parser.parse_args(arguments)
    as_json = getattr(options, "json", False)
    try:
        return options.run(options) or 0
    except TaesanError as error:
        _print_error(error, as_json)
        return error.exit_status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of our output has gone: nothing more to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        _print_error(StorageError(f"{escape(error.filename or 'input or output')}: {error.strerror or error}"), as_json)
        return StorageError.exit_status
    except Exception as error:
        if os.environ.get("TAESAN_DEBUG"):
            traceback.print_exc()
        if not _is_main_process():  # when the main one ends, the others notice it as a lost connection
            return OUR_BUG
        _talk(f"taesan: this is a bug of ours: {type(error).__name__}: {escape(error, 400)}")
        _talk("Please report it with the output of the same command under TAESAN_DEBUG=1.")
        return OUR_BUG


# Verbs --------------------------------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> None:
    from taesan.verbs.card import example
    from taesan.verbs.fit import fit

    fitted = fit(
        options.task,
        options.train,
        output=options.output,
        validation=options.validation,
        test=options.test,
        backbone=options.backbone,
        method=options.method,
        from_scratch=options.from_scratch,
        labels=[label.strip() for label in options.labels.split(",")] if options.labels else (),
        label_words=_label_words(options.label_words),
        templates=options.templates,
        config=_settings(FitConfig, options),
        resume=options.resume,
        overwrite=options.overwrite,
        drop_overlap=options.drop_overlap,
        encoding=options.encoding,
        columns=_columns(options),
        quiet=options.quiet,
    )
    if not _is_main_process():
        return
    parts = {"validation": fitted.validation, "test": fitted.test}
    shown = {name: part for name, part in parts.items() if part is not None}
    if options.json:
        _write_json({"folder": str(fitted.folder), **{name: part.as_dict() for name, part in shown.items()}})
        return
    for name, part in shown.items():
        print(f"{name}: {part.text}\n")
    print(f"The model is in {fitted.folder}. Ask it: {example(options.task, str(fitted.folder))}")


def _predict(options: argparse.Namespace) -> None:
    from taesan.engine.load import open_predictor
    from taesan.engine.output import Output
    from taesan.verbs.predict import WHOLE, Shard, as_lines, predict, predict_file, predict_into, write

    if bool(options.question) != bool(options.context):
        raise UsageError('a question is about a context: name both, --question "…" --context "…"')
    texts = _given_texts(options)
    if bool(texts) == bool(options.input):
        raise UsageError('name texts or a file, one of the two: taesan predict DIR "…", or --input FILE (- for stdin)')
    shard, device, ready = Shard.read(options.shard) if options.shard else WHOLE, options.device, None
    into_file = options.output and options.input and options.input != "-"
    if not into_file and (options.resume or options.shard or _is_one_of_several()):
        raise UsageError(
            "--resume, --shard and torchrun need a file to read and one to write: --input FILE --output FILE"
        )
    if _is_one_of_several():
        from taesan.engine.process import Process

        if options.shard:
            raise UsageError("under torchrun each process is a shard; leave --shard out")
        process = Process(device=device)
        shard, ready = Shard(process.rank + 1, process.count), process.wait
        device = device if device in ("auto", "cpu") else str(process.device)  # each has its own
    predictor, manifest = open_predictor(options.model, device=device, backbone=options.backbone)
    if into_file:
        predict_into(
            options.output,
            predictor,
            manifest,
            options.input,
            shard=shard,
            resume=options.resume,
            details=options.details,
            **_reading(options),
            device=device.split(":")[0],
            quiet=options.quiet or not _is_main_process(),
            say=_talk if _is_main_process() and not options.quiet else lambda line: None,
            ready=ready or (lambda: None),
        )
    else:
        if texts == ["-"] or options.input == "-":
            predictions = predict_file(predictor, _standard_input(), **_reading(options), quiet=True)
        elif options.input:
            predictions = predict_file(predictor, options.input, **_reading(options), quiet=options.quiet)
        else:
            predictions = predict(predictor, texts)
        if options.output:
            with Output(Path(options.output)) as out:
                write(out, predictor, predictions, details=options.details)
                out.finish()
        else:
            for line in as_lines(predictions, details=options.details):
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
    if predictor.cut:
        _talk(f"{predictor.cut:,} texts are longer than the model reads ({predictor.options.long_text})")


def _standard_input() -> BinaryIO:
    """Opened for us alone: a thread that still waits for it must not hold what Python closes at its end."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:
        return sys.stdin.buffer


def _label_words(given: str | None) -> dict[str, str]:
    words: dict[str, str] = {}
    for pair in given.split(",") if given else []:
        label, separator, word = pair.partition("=")
        if not separator or not word.strip():
            raise UsageError(f"--label-words {escape(pair)}: expected LABEL=WORD, as in --label-words 0=부정,1=긍정")
        words[label.strip()] = word.strip()
    return words


def _given_texts(options: argparse.Namespace) -> list[Any]:
    """The texts of the command line, in pairs where the task reads two."""
    if options.question:
        return [*options.texts, (options.question, options.context)]
    return [(text, options.hypothesis) for text in options.texts] if options.hypothesis else options.texts


def _evaluate(options: argparse.Namespace) -> None:
    from taesan.verbs.evaluate import evaluate, evaluate_predictions

    if options.predictions:
        evaluation = evaluate_predictions(
            options.model, options.file, options.predictions, **_reading(options), seed=options.seed
        )
    else:
        how = {"device": options.device, "backbone": options.backbone, "seed": options.seed, "quiet": options.quiet}
        how["orders"] = options.orders
        evaluation = evaluate(options.model, options.file, **_reading(options), **how)
    if options.json:
        _write_json(evaluation.as_dict())
    else:
        print(evaluation.text)


def _check(options: argparse.Namespace) -> int:
    from taesan.verbs.check import check

    checked = check(
        options.task,
        options.file,
        against=options.against,
        backbone=options.backbone,
        max_length=options.max_length,
        **_reading(options),
    )
    if options.json:
        _write_json(checked.as_dict())
    else:
        print(checked)
    return DataError.exit_status if checked.report.error_count else 0


def _compare(options: argparse.Namespace) -> None:
    from taesan.verbs.compare import BUDGET_SECONDS, SIZES, compare

    compared = compare(
        options.task,
        options.train,
        output=options.output,
        test=options.test,
        methods=_parts(options.methods),
        backbones=_parts(options.backbones),
        sizes=[_size(part) for part in _parts(options.sizes)] if options.sizes else SIZES,
        seeds=options.seeds,
        budget_seconds=_seconds(options.budget) if options.budget else BUDGET_SECONDS,
        constraints=_constraints(options.constraints),
        label_words=_label_words(options.label_words),
        keep=options.keep,
        jobs=options.jobs,
        ray=options.ray,
        overwrite=options.overwrite,
        encoding=options.encoding,
        columns=_columns(options),
        quiet=options.quiet,
    )
    print(f"{compared.table}\n\n{compared.report.text}\n")
    for reason, names in _by_reason(compared.pruned).items():
        print(f"left out, as {reason}: {names}")
    for name, error in compared.failed.items():
        print(f"failed: {name}: {error}")
    print(f"The page is {compared.report.page}.")


def _by_reason(pruned: Mapping[str, str]) -> dict[str, str]:
    """The names that share a reason, the first few of them."""
    names: dict[str, list[str]] = {}
    for name, reason in pruned.items():
        names.setdefault(reason, []).append(name)
    return {
        reason: ", ".join(own[:3]) + (f" and {len(own) - 3:,} more" if len(own) > 3 else "")
        for reason, own in names.items()
    }


def _parts(given: str) -> list[str]:
    parts = [part.strip() for part in given.split(",")] if given else []
    if not all(parts):
        raise UsageError(f"{escape(given)} has an empty part; expected names with one comma between them")
    return parts


def _size(given: str) -> int | str:
    return int(given) if given.isascii() and given.isdecimal() else given


def _seconds(given: str) -> float:
    number, unit = (given[:-1], given[-1]) if given[-1:] in UNITS else (given, "")
    try:
        return float(number) * UNITS[unit]
    except (ValueError, KeyError):
        raise UsageError(f"--budget {escape(given)}: expected a time, as 90s, 30m or 2h") from None


def _constraints(given: str) -> dict[str, float]:
    constraints: dict[str, float] = {}
    for pair in _parts(given):
        name, separator, value = pair.partition("=")
        try:
            constraints[name.strip()] = float(value) if separator else float("nan")
        except ValueError:
            constraints[name.strip()] = float("nan")
        if not 0 < constraints[name.strip()] < float("inf"):
            raise UsageError(f"--constraints {escape(pair)}: expected NAME=NUMBER, as in latency_ms=5,size_mb=20")
    return constraints


def _pretrain(options: argparse.Namespace) -> None:
    from taesan.verbs.pretrain import pretrain

    folder = pretrain(
        options.objective,
        options.texts,
        output=options.output,
        backbone=options.backbone,
        config=_settings(PretrainConfig, options),
        resume=options.resume,
        overwrite=options.overwrite,
        encoding=options.encoding,
        quiet=options.quiet,
    )
    print(f"The backbone is in {folder}. Use it: taesan fit classification TRAIN --backbone {folder} --output DIR")


def _fill(options: argparse.Namespace) -> None:
    from taesan.verbs.fill import fill

    filled = fill(options.backbone, options.text, top=options.top, device=options.device)
    if options.json:
        _write_json(filled.as_dict())
    elif options.as_text:
        print(filled.filled)
    else:
        for number, (_, candidates) in enumerate(filled.blanks, 1):
            print(f"blank {number}" if len(filled.blanks) > 1 else filled.text)
            _print_candidates(candidates)


def _next(options: argparse.Namespace) -> None:
    from taesan.verbs.next_words import next_words

    found = next_words(options.backbone, options.text, top=options.top, device=options.device)
    if options.json:
        _write_json(found.as_dict())
    elif options.as_text:
        print(found.text + found.candidates[0].text)
    else:
        print(found.text)
        _print_candidates(found.candidates)


def _generate(options: argparse.Namespace) -> None:
    from taesan.verbs.generate import generate

    chosen = _from_flags(GenerationOptions, options)
    streamed = not options.json and len(options.prompts) == 1 and chosen.sequences == 1 and not chosen.candidates
    written = generate(
        options.model,
        options.prompts,
        options=chosen,
        device=options.device,
        backbone=options.backbone,
        on_text=_stream if streamed else None,
    )
    if streamed:
        print()
        return
    for texts in written:
        for number, text in enumerate(texts, 1):
            if options.json:
                print(json.dumps(text.as_dict(), ensure_ascii=False))
                continue
            print(f"{f'{number}. ' if len(texts) > 1 else ''}{text.shown}")
            for step in text.steps:
                _print_candidates(step)
                print()


def _stream(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def _export(options: argparse.Namespace) -> None:
    from taesan.verbs.export import export

    folder = export(
        options.model,
        format=options.format,
        output=options.output,
        int8=options.int8,
        validation=options.validation,
        encoding=options.encoding,
        columns=_columns(options),
        backbone=options.backbone,
        overwrite=options.overwrite,
        quiet=options.quiet,
    )
    print(f"The export is in {folder}.")


def _serve(options: argparse.Namespace) -> None:
    from taesan.verbs.serve import serve

    serve(
        options.models,
        host=options.host,
        port=options.port,
        api_key_file=options.api_key_file,
        allow_hosts=options.allow_host,
        device=options.device,
        limits=_from_flags(ServeLimits, options),
        say=_talk,
        quiet=options.quiet,
    )


def _show(options: argparse.Namespace) -> None:
    from taesan.verbs.show import describe, show

    manifest = show(options.folder)
    if options.json:
        _write_json(manifest)
    else:
        print(describe(options.folder, manifest))


def _demo(options: argparse.Namespace) -> None:
    from taesan.verbs.demo import demo

    demo(output=options.output, quiet=options.quiet)


# Options ------------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taesan",
        description="Transfer learning, whole: pretrain, adapt, measure, predict. Korean first.",
        epilog="Exit status: 0; 2 usage; 65 bad data; 66 missing input; 70 our bug; 73 cannot create; 74 input or "
        "output failed; 75 locked; 130, 143 stopped by a signal after saving a checkpoint.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"taesan {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    verb = _verb(verbs, "fit", "learn a task from a labelled file", _fit)
    verb.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    verb.add_argument("train", metavar="TRAIN", nargs="?", help="labelled rows: .csv, .tsv, .jsonl, also .gz; .parquet")
    verb.add_argument("--validation", metavar="FILE", help="rows to choose the checkpoint by; else held out of TRAIN")
    verb.add_argument("--test", metavar="FILE", help="rows to measure on at the end; they choose nothing")
    verb.add_argument("--backbone", help="taesan:bert-mini (for generation, gpt-mini), a folder or a hub name")
    verb.add_argument(
        "--method",
        default="finetune",
        help=f"how to adapt the backbone: {', '.join(METHODS)}; or without one, to be beaten: {', '.join(BASELINES)}",
    )
    verb.add_argument("--labels", metavar="A,B", help="the label set, for in-context without TRAIN")
    verb.add_argument(
        "--label-words", metavar="A=WORD,…", help="words that stand for labels, for prompt and in-context"
    )
    verb.add_argument("--template", metavar="FILE", dest="templates", help="templates of your own, in TOML")
    verb.add_argument("--from-scratch", action="store_true", help="the backbone's shape with random weights")
    verb.add_argument("--drop-overlap", action="store_true", help="leave rows out of TRAIN that are in the other files")
    _add_output(verb)
    _add_reading(verb)
    _add_settings(verb, FitConfig, ("epochs", "max_length", "shots"))
    verb.add_argument("--json", action="store_true", help="scores as JSON")

    verb = _verb(verbs, "predict", "answers with probabilities, as JSON lines", _predict)
    verb.add_argument("model", metavar="DIR", help="a model folder")
    verb.add_argument("texts", metavar="TEXT", nargs="*", help="texts to answer; - reads lines from stdin")
    verb.add_argument("--input", metavar="FILE", help="rows to answer, in a file; - reads stdin")
    verb.add_argument("--hypothesis", metavar="TEXT", help="the second sentence, for pair")
    verb.add_argument("--question", metavar="TEXT", help="for qa, with --context")
    verb.add_argument("--context", metavar="TEXT", help="where the answer is to be found")
    verb.add_argument("--details", action="store_true", help="for qa, the chances of every word to start and to end it")
    verb.add_argument(
        "--output", metavar="FILE", help="where the answers go, as JSON lines or .parquet; else to stdout"
    )
    verb.add_argument("--resume", action="store_true", help="go on behind the rows of a run that was stopped")
    verb.add_argument("--shard", metavar="I/N", help="answer one of N parts; the last one done joins them in --output")
    verb.add_argument("--device", default="auto", help=DEVICES)
    verb.add_argument("--backbone", help="where the backbone is that the model adds to, should it have moved")
    _add_reading(verb, formats=True)

    verb = _verb(verbs, "evaluate", "metrics with intervals on labelled rows", _evaluate)
    verb.add_argument("model", metavar="DIR", help="a model folder; with --predictions the task, qa")
    verb.add_argument("file", metavar="FILE", help="labelled rows")
    verb.add_argument("--predictions", metavar="FILE", help="measure these answers, whoever gave them: id to text")
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb.add_argument("--seed", type=int, default=42, help="seed of the bootstrap (42)")
    verb.add_argument("--orders", type=int, default=0, metavar="N", help="in context: also with the shots in N orders")
    verb.add_argument("--device", default="auto", help=DEVICES)
    verb.add_argument("--backbone", help="where the backbone is that the model adds to, should it have moved")
    _add_reading(verb, formats=True)

    verb = _verb(verbs, "check", "everything wrong, or worth knowing, in a labelled file", _check)
    verb.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    verb.add_argument("file", metavar="FILE", help="labelled rows")
    verb.add_argument("--against", metavar="FILE", help="the training file that these rows must not be in")
    verb.add_argument("--backbone", help="whose tokens and limit to count by (as for fit)")
    verb.add_argument("--max-length", type=int, default=0, help="longest input in tokens; 0: the backbone's limit")
    verb.add_argument("--json", action="store_true", help="as JSON")
    _add_reading(verb, formats=True)

    verb = _verb(verbs, "compare", "which technique for these rows: all of them, tried and measured", _compare)
    verb.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    verb.add_argument("train", metavar="TRAIN", help="labelled rows to learn from")
    verb.add_argument("--test", metavar="FILE", help="rows to measure on; they choose nothing. Else a fifth of TRAIN")
    verb.add_argument(
        "--methods", metavar="A,B", default="", help=f"{', '.join((*METHODS, *BASELINES))}, scratch; default all"
    )
    verb.add_argument("--backbones", metavar="A,B", default="", help="taesan:…, folders, hub names; default as for fit")
    verb.add_argument("--sizes", metavar="N,N", default="", help="numbers of labelled rows (0,8,32,128,512,all)")
    verb.add_argument("--seeds", metavar="N", type=int, default=3, help="draws of rows and of weights (3)")
    verb.add_argument("--budget", metavar="TIME", default="", help="wall clock that it may take, as 90s, 30m, 2h (30m)")
    verb.add_argument("--constraints", metavar="A=N,…", default="", help="what the answer has to keep: latency_ms=5")
    verb.add_argument(
        "--label-words", metavar="A=WORD,…", help="words that stand for labels, for prompt and in-context"
    )
    verb.add_argument("--keep", action="store_true", help="keep the weights of every model")
    verb.add_argument("--jobs", metavar="N", type=int, default=0, help="models made side by side (as many as cores)")
    verb.add_argument("--ray", metavar="ADDRESS", default="", help="as tasks of a Ray cluster: its address, or auto")
    verb.add_argument("--output", metavar="DIR", required=True, help="the folder; what it has of the same is kept")
    verb.add_argument("--overwrite", action="store_true", help="begin anew")
    verb.add_argument("--encoding", default="utf-8", help="encoding of the files (utf-8)")
    verb.add_argument("--column", metavar="FIELD=NAME", action="append", default=[], help="which column is text, …")

    verb = _verb(verbs, "pretrain", "a backbone from raw text", _pretrain)
    verb.add_argument("objective", choices=OBJECTIVES, help="masked: fill in the blank; causal: the next word")
    verb.add_argument("texts", metavar="TEXT", nargs="+", help="files of raw text, a document a line; also .gz, .xz")
    verb.add_argument("--from", metavar="BACKBONE", dest="backbone", help="a backbone to continue, as it is shaped")
    _add_output(verb)
    verb.add_argument("--encoding", default="utf-8", help="encoding of the files (utf-8)")
    _add_settings(verb, PretrainConfig, ())

    for name, help, run, text in (
        ("fill", "what a masked language model puts into [MASK]", _fill, "a text with [MASK] where a word is missing"),
        ("next", "how a causal language model goes on", _next, "how a text begins"),
    ):
        verb = _verb(verbs, name, help, run)
        verb.add_argument("backbone", metavar="BACKBONE", help="taesan:…, a folder or a hub name")
        verb.add_argument("text", metavar="TEXT", help=text)
        verb.add_argument("--top", type=int, default=5, help="how many pieces to show (5)")
        shown = verb.add_mutually_exclusive_group()
        shown.add_argument("--json", action="store_true", help="as JSON")
        shown.add_argument(
            "--text", action="store_true", dest="as_text", help="the text with the likeliest piece alone"
        )
        verb.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, mps")

    verb = _verb(verbs, "generate", "texts after a prompt, as they come", _generate)
    verb.add_argument("model", metavar="DIR", help="a folder fitted for generation, or a causal backbone")
    verb.add_argument("prompts", metavar="PROMPT", nargs="+", help="what is to be answered, or gone on with")
    _add_flags(verb, GenerationOptions)
    verb.add_argument("--json", action="store_true", help="JSON lines, with probabilities")
    verb.add_argument("--device", default="auto", help=DEVICES)
    verb.add_argument("--backbone", help="where the backbone is that the model adds to, should it have moved")

    verb = _verb(verbs, "export", "a model folder for other libraries", _export)
    verb.add_argument("model", metavar="DIR", help="a model folder")
    verb.add_argument(
        "--format",
        required=True,
        choices=("onnx", "hf", "peft"),
        help="onnx: a graph in DIR/onnx, by which predict then answers without torch; hf: for transformers; peft",
    )
    verb.add_argument("--output", metavar="FOLDER", help="the folder to make, for hf and peft")
    verb.add_argument("--int8", action="store_true", help="onnx: matrices in 8 bits, if the answers stay the same")
    verb.add_argument("--validation", metavar="FILE", help="onnx: rows to hold the graph against the model on")
    verb.add_argument("--overwrite", action="store_true", help="replace an export that stands there")
    verb.add_argument("--backbone", help="where the backbone is that the model adds to, should it have moved")
    _add_reading(verb)

    verb = _verb(verbs, "serve", "models behind HTTP, and a page that shows what they think", _serve)
    verb.add_argument("models", metavar="DIR", nargs="+", help="model folders, NAME=DIR, or backbones")
    verb.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    verb.add_argument("--port", type=int, default=8000, help="port to listen at; 0: any that is free (8000)")
    verb.add_argument("--api-key-file", metavar="FILE", help="the key that clients must have; else in TAESAN_API_KEY")
    verb.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a host name by which it is reached"
    )
    verb.add_argument("--device", default="auto", help=DEVICES)
    _add_flags(verb, ServeLimits)

    verb = _verb(verbs, "show", "what a model folder is, from what, with which score", _show)
    verb.add_argument("folder", metavar="DIR", help="a model folder")
    verb.add_argument("--json", action="store_true", help="as JSON")

    verb = _verb(verbs, "demo", "a first look: two minutes, offline", _demo)
    verb.add_argument("--output", metavar="DIR", help="keep the models here; else they are thrown away")
    return parser


def _verb(verbs: Any, name: str, help: str, run: Any) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.", allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", required=True, help="the folder to make")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in DIR")
    parser.add_argument("--overwrite", action="store_true", help="replace what stands in DIR, once the new one is done")


def _add_reading(parser: argparse.ArgumentParser, *, formats: bool = False) -> None:
    parser.add_argument("--encoding", default="utf-8", help="encoding of the files (utf-8)")
    parser.add_argument(
        "--column", metavar="FIELD=NAME", action="append", default=[], help="which column is text, label, premise, …"
    )
    if formats:
        parser.add_argument("--format", choices=FORMATS, help="format, where the name misleads")


def _add_settings(parser: argparse.ArgumentParser, kind: type[LoopConfig], extra: tuple[str, ...]) -> None:
    """Flags for the common settings; `--set` for all of them, which the help lists."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in ("seed", "learning_rate", "batch_tokens", "device", "precision", *extra):
        field = fields[name]
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="X", help=_help(field), dest=f"setting_{name}")
    parser.add_argument("--config", metavar="FILE", help="settings in TOML")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="any setting; see below")
    width = max(map(len, fields))
    settings = "\n".join(f"  {name:<{width}}  {_help(field)}" for name, field in fields.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"settings, for --config and --set:\n{settings}"


def _add_flags(parser: argparse.ArgumentParser, kind: type[Any]) -> None:
    """A flag for every setting."""
    for field in dataclasses.fields(kind):
        flag = f"--{field.name.replace('_', '-')}"
        if field.default is False:
            parser.add_argument(flag, action="store_true", default=None, help=_help(field))
        else:
            parser.add_argument(flag, metavar="X", help=_help(field))


def _from_flags(kind: type[Any], options: argparse.Namespace) -> Any:
    names = [field.name for field in dataclasses.fields(kind)]
    return resolve(kind, values={name: getattr(options, name) for name in names})


def _help(field: dataclasses.Field[Any]) -> str:
    notes = [", ".join(choice for choice in field.metadata["choices"] if choice)]
    notes += [f"default {field.default}"] if field.default != "" else []
    given = "; ".join(filter(None, notes))
    return field.metadata["help"] + (f" ({given})" if given else "")


def _settings(kind: type[Any], options: argparse.Namespace) -> Any:
    values: dict[str, Any] = {}
    for pair in options.set:
        key, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"--set {escape(pair)}: expected KEY=VALUE")
        values[key.strip().replace("-", "_")] = value.strip()
    for name, value in vars(options).items():
        if name.startswith("setting_") and value is not None:
            values[name.removeprefix("setting_")] = value
    return resolve(kind, file=options.config, values=values)


def _columns(options: argparse.Namespace) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in options.column:
        field, separator, name = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--column {escape(pair)}: expected FIELD=NAME, as in --column text=review")
        columns[field] = name
    return columns


def _reading(options: argparse.Namespace) -> dict[str, Any]:
    return {"encoding": options.encoding, "columns": _columns(options), "format": options.format}


# Printing -----------------------------------------------------------------------------------------------------------


def _talk(line: str) -> None:
    sys.stderr.write(line.encode(errors="backslashreplace").decode() + "\n")


def _write_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))


def _is_main_process() -> bool:
    """Whether this process speaks: of several started by `torchrun`, the first. `engine/process.py` needs torch."""
    return os.environ.get("RANK", "0") == "0"


def _is_one_of_several() -> bool:
    return os.environ.get("WORLD_SIZE", "1") != "1"


def _print_error(error: TaesanError, as_json: bool) -> None:
    if not _is_main_process():
        return
    if as_json:
        content: dict[str, Any] = {"error": type(error).__name__, "exit_status": error.exit_status}
        if isinstance(error, DataError):
            content |= {"error_count": error.total, "errors": [problem.as_dict() for problem in error.problems]}
        else:
            content["message"] = str(error)
        _write_json(content)
    else:
        _talk(str(error) if isinstance(error, DataError) else f"taesan: {error}")


def _print_candidates(candidates: "Sequence[Candidate]") -> None:
    from taesan.text.width import bar, display_width, ljust

    shown = [escape(candidate.text) for candidate in candidates]
    width = max(map(display_width, shown))
    for text, candidate in zip(shown, candidates, strict=True):
        print(f"  {ljust(text, width)}  {bar(candidate.probability)} {100 * candidate.probability:5.1f}%")


if __name__ == "__main__":
    sys.exit(main())
