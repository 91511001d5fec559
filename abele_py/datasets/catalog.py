"""DATASETS: one record per data set."""

from collections.abc import Mapping

from .files import File, fetch_url, fetch_with_torchvision
from .readers import (
    Split,
    gzipped,
    idx_reader,
    medmnist_reader,
    read_cifar10,
    read_cifar10_jpeg,
    read_digits,
    read_emnist_letters,
    read_pneumonia,
)
from .records import Dataset


def _unpacked(folder: str, *sha256: str) -> dict[str, File]:
    """The four files of MNIST, and of what has its format and sizes, unpacked; train first, images first."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    sizes = (47040016, 60008, 7840016, 10008)
    return {
        f"{folder}/{name}-ubyte": File((f"sha256:{digest}",), size)
        for name, size, digest in zip(names, sizes, sha256, strict=True)
    }


def _archive(path: str, size: int, md5: str, sha256: str) -> dict[str, File]:
    """An archive as torchvision (md5) and TensorFlow Datasets (size, sha256) expect it; either digest will do."""
    return {path: File((f"sha256:{sha256}", f"md5:{md5}"), size)}


def _medmnist(
    title: str,
    md5: Mapping[int, str],
    *,
    channels: int,
    class_names: tuple[str, ...],
    sizes: Mapping[Split, int],
    origin: str,
    licence: str = "CC BY 4.0",
) -> tuple[Dataset, ...]:
    """A set of MedMNIST, ``md5`` of its files by pixels a side; as its version 3.0.2 says in ``medmnist/info.py``."""

    def of(side: int, digest: str) -> Dataset:
        stem = title.lower() + ("" if side == 28 else f"_{side}")
        path = f"medmnist/{stem}.npz"
        return Dataset(
            name=stem.replace("_", "-"),
            title=title + ("" if side == 28 else f" ({side}x{side})"),
            image_shape=(channels, side, side),
            class_names=class_names,
            licence=f"{licence}; not for clinical use",
            source=f"{_MEDMNIST}; {origin}",
            sizes=sizes,
            splitting="MedMNIST's own; not searched for images that occur in two of them",
            read=medmnist_reader(path),
            files={path: File((f"md5:{digest}",))},
            fetch=fetch_url(path, f"{_MEDMNIST_URL}/files/{stem}.npz?download=1", digest),
        )

    return tuple(of(side, digest) for side, digest in md5.items())


_MNIST_FILES = _unpacked(
    "MNIST/raw",
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_FASHION_FILES = _unpacked(
    "FashionMNIST/raw",
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
_KMNIST_FILES = {
    **_archive(
        *("KMNIST/raw/train-images-idx3-ubyte.gz", 18165135, "bdb82020997e1d708af4cf47b453dcf7"),
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    ),
    **_archive(
        *("KMNIST/raw/train-labels-idx1-ubyte.gz", 29497, "e144d726b3acfaa3e44228e80efcd344"),
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    ),
    **_archive(
        *("KMNIST/raw/t10k-images-idx3-ubyte.gz", 3041136, "5c965bf0a639b31b8f53240b1b52f4d7"),
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    ),
    **_archive(
        *("KMNIST/raw/t10k-labels-idx1-ubyte.gz", 5120, "7320c461ea6c1c855c0b718fb2a4b134"),
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
}
_EMNIST_ZIP, _EMNIST_MD5 = "EMNIST/raw/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"
_CIFAR_TAR, _CIFAR_MD5 = "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
_ORGANS = (
    *("bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right"),
    *("liver", "lung-left", "lung-right", "pancreas", "spleen"),
)
_ORGAN_ORIGIN = (
    "slices of the CT scans of P. Bilic et al.: The liver tumor segmentation benchmark (LiTS), Medical Image Analysis "
    "84, 2023; boxes of the organs by X. Xu et al., IEEE Transactions on Medical Imaging 38(8), 2019"
)
_MEDMNIST_URL = "https://zenodo.org/records/10519652"
_MEDMNIST = (
    "J. Yang, R. Shi, D. Wei, Z. Liu, L. Zhao, B. Ke, H. Pfister, B. Ni: MedMNIST v2, Scientific Data 10, 41, 2023, "
    f"{_MEDMNIST_URL}"
)
_PNEUMONIA_NPZ, _PNEUMONIA_MD5 = "medmnist/pneumoniamnist.npz", "28209eda62fecd6e6a2d98b1501bb15f"
_FIRST_5000 = (
    "test: the official one; val: 5,000 of the official training images, the first of "
    "numpy.random.RandomState(0).permutation({}); train: the other {}"
)
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR_LICENCE = "none stated; public for research, the technical report is to be cited"
_TEN_DIGITS = tuple("0123456789")

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="digits",
            title="Digits (8x8, enlarged to 28x28)",
            image_shape=(1, 28, 28),
            class_names=_TEN_DIGITS,
            licence="CC BY 4.0",
            source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning "
            "Repository, 1998, doi 10.24432/C50P49; the copy embedded in scikit-learn",
            sizes={"train": 1197, "val": 300, "test": 300},
            splitting="stratified by class with scikit-learn's train_test_split, random_state 0: 300 test, 300 val",
            read=read_digits,
            drawn=(28, 8),
        ),
        Dataset(
            name="mnist",
            title="MNIST",
            image_shape=(1, 28, 28),
            class_names=_TEN_DIGITS,
            licence="CC BY-SA 3.0",
            source="Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits; LeCun, Bottou, "
            "Bengio, Haffner: Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998",
            sizes={"train": 55000, "val": 5000, "test": 10000},
            splitting=_FIRST_5000.format(60000, "55,000"),
            read=idx_reader("MNIST/raw/train", "MNIST/raw/t10k", 5000),
            files=_MNIST_FILES,
            fetch=fetch_with_torchvision("MNIST"),
            drawn=(20, 28),
        ),
        Dataset(
            name="fashion-mnist",
            title="Fashion-MNIST",
            image_shape=(1, 28, 28),
            class_names=(
                *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
                *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
            ),
            licence="MIT, copyright 2017 Zalando SE",
            source="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine "
            "learning algorithms, arXiv 1708.07747",
            sizes={"train": 55000, "val": 5000, "test": 10000},
            splitting=_FIRST_5000.format(60000, "55,000"),
            read=idx_reader("FashionMNIST/raw/train", "FashionMNIST/raw/t10k", 5000),
            files=_FASHION_FILES,
            fetch=fetch_with_torchvision("FashionMNIST"),
        ),
        Dataset(
            name="kmnist",
            title="KMNIST (Kuzushiji-MNIST)",
            image_shape=(1, 28, 28),
            class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
            licence="CC BY-SA 4.0",
            source="KMNIST Dataset, created by CODH, adapted from Kuzushiji Dataset, created by NIJL and others, doi "
            "10.20676/00000341; T. Clanuwat et al.: Deep learning for classical Japanese literature, arXiv 1812.01718",
            sizes={"train": 55000, "val": 5000, "test": 10000},
            splitting=_FIRST_5000.format(60000, "55,000"),
            read=idx_reader("KMNIST/raw/train", "KMNIST/raw/t10k", 5000, gzipped),
            files=_KMNIST_FILES,
            fetch=fetch_with_torchvision("KMNIST"),
            advice="the .gz files are what is read: their digests are published, those of the unpacked files are not",
        ),
        Dataset(
            name="emnist-letters",
            title="EMNIST letters",
            image_shape=(1, 28, 28),
            class_names=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            licence="none stated; published by NIST and by the authors, who ask that the paper be cited",
            source="G. Cohen, S. Afshar, J. Tapson, A. van Schaik: EMNIST: an extension of MNIST to handwritten "
            "letters, arXiv 1702.05373; from NIST Special Database 19; capital and small letters are one class",
            sizes={"train": 119800, "val": 5000, "test": 20800},
            splitting=_FIRST_5000.format(124800, "119,800"),
            read=read_emnist_letters,
            files=_archive(
                *(_EMNIST_ZIP, 561753746, _EMNIST_MD5),
                "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
            ),
            fetch=fetch_url(_EMNIST_ZIP, "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", _EMNIST_MD5),
            advice="all of EMNIST is one archive of 562 MB, of which only the letters are read; torchvision leaves it "
            "beside the files that it unpacks",
        ),
        Dataset(
            name="pneumoniamnist",
            title="PneumoniaMNIST",
            image_shape=(1, 28, 28),
            class_names=("normal", "pneumonia"),
            licence="CC BY 4.0; not for clinical use",
            source=f"{_MEDMNIST}; X-rays of D. S. Kermany et al., Cell 172(5), 2018",
            sizes={"train": 4698, "val": 524, "test": 624},
            splitting="MedMNIST's own; without the 10 training images that occur in val too",
            read=read_pneumonia,
            files={
                _PNEUMONIA_NPZ: File(
                    (
                        f"md5:{_PNEUMONIA_MD5}",  # the official file
                        # the same images, the training images in another order
                        "sha256:194a7199bf9cbb2dd7f140ebd73fc4c2fa71f44049d84a8b5269dbbcf648ad48",
                    )
                )
            },
            fetch=fetch_url(
                *(_PNEUMONIA_NPZ, f"{_MEDMNIST_URL}/files/pneumoniamnist.npz?download=1"),
                _PNEUMONIA_MD5,
            ),
        ),
        *_medmnist(
            "BloodMNIST",
            {28: "7053d0359d879ad8a5505303e11de1dc", 64: "2b94928a2ae4916078ca51e05b6b800b"},
            channels=3,
            class_names=(
                *("basophil", "eosinophil", "erythroblast"),
                "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
                *("lymphocyte", "monocyte", "neutrophil", "platelet"),
            ),
            sizes={"train": 11959, "val": 1712, "test": 3421},
            origin="blood cells of A. Acevedo et al., Data in Brief 30, 2020",
        ),
        *_medmnist(
            "DermaMNIST",
            {28: "0744692d530f8e62ec473284d019b0c7", 64: "b70a2f5635c6199aeaa28c31d7202e1f"},
            channels=3,
            class_names=(
                *("actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma"),
                *("benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi"),
                "vascular lesions",
            ),
            sizes={"train": 7007, "val": 1003, "test": 2005},
            origin="HAM10000 of P. Tschandl, C. Rosendahl, H. Kittler, Scientific Data 5, 180161, 2018",
            licence="CC BY-NC 4.0: not for commercial use",
        ),
        *_medmnist(
            "PathMNIST",
            {28: "a8b06965200029087d5bd730944a56c1", 64: "55aa9c1e0525abe5a6b9d8343a507616"},
            channels=3,
            class_names=(
                *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle"),
                *("normal colon mucosa", "cancer-associated stroma", "colorectal adenocarcinoma epithelium"),
            ),
            sizes={"train": 89996, "val": 10004, "test": 7180},
            origin="colorectal tissue of J. N. Kather et al., PLOS Medicine 16(1), 2019",
        ),
        *_medmnist(
            "OrganAMNIST",
            {28: "68e3f8846a6bd62f0c9bf841c0d9eacc", 64: "2dcccc29b88e6da5a01161ef20cda288"},
            channels=1,
            class_names=_ORGANS,
            sizes={"train": 34561, "val": 6491, "test": 17778},
            origin=f"axial {_ORGAN_ORIGIN}",
        ),
        *_medmnist(
            "OrganCMNIST",
            {28: "b9ceb9546e10131b32923c5bbeaea2b1", 64: "3ce34a8724ea6f548e6db4744d03b6a9"},
            channels=1,
            class_names=_ORGANS,
            sizes={"train": 12975, "val": 2392, "test": 8216},
            origin=f"coronal {_ORGAN_ORIGIN}",
        ),
        *_medmnist(
            "OrganSMNIST",
            {28: "9ab87b696fb54e2a387ebe992d6ed5f1", 64: "53a6d115339d874c25e309a994ff46d3"},
            channels=1,
            class_names=_ORGANS,
            sizes={"train": 13932, "val": 2452, "test": 8827},
            origin=f"sagittal {_ORGAN_ORIGIN}",
        ),
        Dataset(
            name="cifar10",
            title="CIFAR-10",
            image_shape=(3, 32, 32),
            class_names=_CIFAR_CLASSES,
            licence=_CIFAR_LICENCE,
            source="A. Krizhevsky: Learning multiple layers of features from tiny images, technical report, University "
            "of Toronto, 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
            sizes={"train": 45000, "val": 5000, "test": 10000},
            splitting=_FIRST_5000.format(50000, "45,000"),
            read=read_cifar10,
            files=_archive(
                *(_CIFAR_TAR, 170052171, _CIFAR_MD5),
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
            fetch=fetch_url(_CIFAR_TAR, "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", _CIFAR_MD5),
            advice="torchvision's copy, cifar-10-batches-py, is the Python version of pickled files, which could run "
            "code and are never read: the binary version is needed",
        ),
        Dataset(
            name="cifar10-jpeg",
            title="CIFAR-10 (JPEG quality 75)",
            image_shape=(3, 32, 32),
            class_names=_CIFAR_CLASSES,
            licence=_CIFAR_LICENCE,
            source="A. Krizhevsky: Learning multiple layers of features from tiny images, technical report, University "
            "of Toronto, 2009; a lossy copy as JPEG files, not to be set beside figures of the original",
            sizes={"train": 45000, "val": 5000, "test": 10000},
            splitting=_FIRST_5000.format(50000, "45,000"),
            read=read_cifar10_jpeg,
            files={
                "cifar10/cifar10_jpeg.npz": File(
                    ("sha256:b0532683caa71fd63b490d4479baa49a19a9998bea779b41d4a75d8bc3dda007",), 18542313
                )
            },
            advice="this lossy copy cannot be downloaded; the official images are the data set cifar10, from "
            "https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
    )
}
