"""The options of the verbs that read, check and convert files: show, verify, import and export."""

from dataclasses import dataclass
from typing import Annotated

from advcli.catalog.options import AnyFiles, DataDir, Device, DrawnSize, Split
from advcli.catalog.params import Param
from advcli.catalog.request import Request
from advcli.catalog.request_parts import Allowing, Destination, Source


@dataclass(frozen=True, kw_only=True)
class ShowRequest(Request):
    """Show how files were made.

    Prints for each file its header and the command line that makes it again.
    """

    files: AnyFiles = ()
    in_: Annotated[str, Param("Folder to search for the files that each was made from.", form="DIR")] = "."


@dataclass(frozen=True, kw_only=True)
class VerifyRequest(Allowing):
    """Check files against themselves, their model and their data.

    Reports what was checked and what could not be checked. Exits with 1 if anything differs.
    """

    files: AnyFiles = ()
    model: Annotated[
        str | None,
        Param("The model that was attacked. [default: the file with its digest, here or beside the set]",
              form="FILE"),
    ] = None  # fmt: skip
    data: Annotated[
        str | None,
        Param("The data that the images were made from. [default: by the name in the header, where it is at hand]", form="DATA"),
    ] = None
    data_dir: DataDir = None
    device: Device = "auto"


@dataclass(frozen=True, kw_only=True)
class ImportRequest(Destination, Source):
    """Turn foreign weights, an ONNX file or a function of your own into a model file, or foreign images into an image set.

    The result is model.safetensors or images.h5. Nothing in a file is executed.
    """

    file: Annotated[
        str,
        Param("A state_dict (.pt, .pth, .safetensors), an ONNX file, or the folder of a Hugging Face classifier; images: a .npz "
              "or .pt file, a folder or a .csv; or module:function, which maps pictures to scores or labels, or returns "
              "a network with its weights; or https://..., which is sent the pictures.", form="FILE"),
    ]  # fmt: skip
    arch: Annotated[str | None, Param("The architecture that the weights belong to.", form="NAME", chooses="architecture")] = None
    input: Annotated[
        str | None, Param("Channels, height and width of the images. [default: guessed from the weights]", form="CxHxW")
    ] = None
    classes: Annotated[str | None, Param("Names of the classes, in the order of the outputs.", form="NAME,...")] = None
    mean: Annotated[str | None, Param("Mean of each channel that the network was trained with.", form="X,...")] = None
    std: Annotated[str | None, Param("Standard deviation of each channel.", form="X,...")] = None
    data: Annotated[
        str | None, Param("The data set that it was trained on: names the classes, and its test images measure it.", form="DATA")
    ] = None
    batch_size: Annotated[
        int | None,
        Param("Largest number of pictures that a function gets in one call. [default: 64]", low=1, high=1_000_000, form="N"),
    ] = None
    max_rate: Annotated[
        float | None, Param("Largest number of calls a second to an address.", low=0.001, high=1_000_000, form="N")
    ] = None
    split: Split = None


@dataclass(frozen=True, kw_only=True)
class ExportRequest(Destination):
    """Write files for other tools.

    A model becomes a .pt file; an image set becomes a .npz file, with -o NAME.pt tensors for torch.load, or with
    -o FOLDER PNG files in class folders.
    """

    file: Annotated[str, Param("A model file or an image set.", form="FILE")]
    size: DrawnSize = None
