"""``pkdr bundle``: build the bundle's zip, with or without weights, and verify one."""

import shlex

from pkdr_monai.arguments import switch, triple
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.terminal import command, echo

__all__ = ["Bundle"]

NAME = "pkdr_brats_mri"


class Bundle:
    """Build the bundle's zip, which works where this package is not installed, or verify one.

    For example, to build it with the weights of a training, and to verify it:

        pkdr bundle build --run runs/pkdr_t2

        pkdr bundle verify dist/pkdr_brats_mri.zip
    """

    @command(demonstration=switch, check_shape=triple(int))
    def build(
        self,
        *,
        run: str | None = None,
        name: str = NAME,
        output: str | None = None,
        source: str = "bundle",
        demonstration: bool = False,
        weights_url: str | None = None,
        check_shape: tuple[int, int, int] = (240, 240, 155),
        modality: str | None = None,
    ) -> None:
        """Write the bundle's zip: configs, code, licences and weights, with --run also exports checked against them.

        The same source and run give the same bytes. Exports are made once and kept in the run's folder.
        Example: pkdr bundle build --run runs/pkdr_t2 --output dist/pkdr_brats_mri.zip

        Args:
            run: folder of the training whose weights go in; without it, those that come along.
            name: of the bundle, which is the folder in the zip; MONAI's download is given the same name.
            output: the file to write, dist/NAME.zip by default.
            source: folder of the bundle, with configs and docs.
            demonstration: mark the bundle as a demonstration, whose weights were trained on synthetic data.
            weights_url: a folder on the web that will hold the weights; the zip then names them in large_files.yml.
            check_shape: voxels of the synthetic volume on which the exports are compared with the weights.
            modality: what the configs ask for, such as flair, with the weights that come along; by default all four.
        """
        from pkdr_monai.packaging import build_bundle

        path = output or f"dist/{name}.zip"
        try:
            build_bundle(path, name, source, run, demonstration, weights_url, check_shape, echo, modality)
        except OSError as error:
            raise InputError(f"cannot write {error.filename}: {error.strerror}. Choose another --output.") from error
        echo(f"{path}: SHA-256 {file_hash(path)}. Next: pkdr bundle verify {shlex.quote(str(path))}")

    @command()
    def verify(self, bundle: str, *, schema: str | None = None) -> None:
        """Run the checks of MONAI's model zoo on a bundle: files, version, metadata, weights, network, TorchScript.

        The bundle's own code runs: verify only what you trust. The first check that fails is named; the exit code is 2.
        Example: pkdr bundle verify dist/pkdr_brats_mri.zip --schema meta_schema_20240725.json

        Args:
            bundle: its zip or its folder.
            schema: a copy of MONAI's schema of metadata.json; without it, only what it requires is looked for.
        """
        from pkdr_monai.packaging import verify_bundle

        verify_bundle(bundle, schema, log=echo)
        echo(f"{bundle}: verified")
