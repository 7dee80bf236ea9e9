"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(
        metavar="RUN|DATA",
        help="A run folder made by `train`; or a folder of images, or 'digits', with "
        "--model and --checkpoint.",
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of images (a subfolder a class, if there are classes), or "
        "'digits' for the embedded data set.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="PACKAGE.MODULE:FACTORY",
        help="Your own encoder: a function without arguments that makes it, such as "
        "torchvision.models:resnet18.",
    ),
]
Checkpoint = Annotated[
    Path | None, typer.Option(help="The encoder's weights: a state_dict of tensors.")
]
Prefix = Annotated[
    str | None,
    typer.Option(
        help="What the names of the encoder's weights begin with in the checkpoint, "
        "such as `student_backbone.` \\[default: found]"
    ),
]
AllowPartial = Annotated[
    bool,
    typer.Option(
        "--allow-partial", help="Load what fits of the checkpoint, and say what not."
    ),
]
TrustCheckpoint = Annotated[
    bool,
    typer.Option(
        "--trust-checkpoint",
        help="Load a checkpoint of more than tensors, which runs code from the file.",
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        help="Weights of the reference encoder, trained without the candidates. "
        "Without it the alignment gap alone is measured."
    ),
]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="The roles of the images, from `split`.")
]
InputSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Side of the square views in pixels. \\[default: 32, digits 16]"
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        help="Name, glob (layer4.*) or kind (attention) of layers to measure; may be "
        "repeated. \\[default: all]"
    ),
]
Views = Annotated[int, typer.Option("--views", min=2, help="Views per image.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images per batch.")]
Workers = Annotated[
    int, typer.Option("--num-workers", min=0, help="Processes that load images.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")]
SkipUnreadable = Annotated[
    bool,
    typer.Option(
        "--skip-unreadable", help="Leave images out that cannot be read, and say which."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else.")
]
ResultOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder for the result's tables. \\[default: inside the run folder; "
        "nowhere for encoders of your own]",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with a measurement that was interrupted, from --out."
    ),
]
Candidates = Annotated[
    int | None,
    typer.Option(
        "--candidate",
        min=0,
        help="Candidates. \\[default: a tenth; with --runs half of all but external]",
    ),
]
Independents = Annotated[
    int | None,
    typer.Option(
        "--independent", min=0, help="Independent images. \\[default: as candidates]"
    ),
]
Externals = Annotated[
    int | None,
    typer.Option("--external", min=0, help="External images. \\[default: a tenth]"),
]
RunOrRuns = Annotated[
    str,
    typer.Argument(
        metavar="RUN|RUNS",
        help="A run folder; or a folder of runs made by `train --runs K`, each of whose "
        "encoders is a trial.",
    ),
]
Trials = Annotated[
    int, typer.Option(min=1, help="Trials on a single run, each with seeds of its own.")
]
NumLayers = Annotated[
    int, typer.Option("--n-layers", min=1, help="How many layers at a time.")
]
ProbeName = Annotated[str, typer.Option(help="logistic, knn, linear or finetune.")]
