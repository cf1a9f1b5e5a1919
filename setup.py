"""Packaging metadata of minigen; `pyproject.toml` holds only the build system and tool settings."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="minigen",
    version="0.1.0",
    description="Learn generative modelling by building it: a small, fast autodiff engine on NumPy, and lessons.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.15",
    # The lessons travel with the package, so that `minigen lesson 4` works wherever it was installed.
    packages=[*find_packages(include=["minigen", "minigen.*"]), "minigen.lessons"],
    package_dir={"minigen.lessons": "lessons"},
    package_data={"minigen": ["py.typed"], "minigen.lessons": ["*.py"]},
    install_requires=["numpy>=2.0", "numba>=0.61", "matplotlib>=3.8", "tqdm>=4.60"],
    extras_require={
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "ruff>=0.17,<0.18",  # the next one may format otherwise
            "mypy>=1.14",
            "import-linter>=2.0",
            "scipy>=1.11",
            "pandas>=2.0",
            "scikit-learn>=1.4",
            "safetensors>=0.4",
            "arviz-stats>=0.8; python_version >= '3.11'",
        ],
        "peers": ["torch>=2.2", "jax>=0.4.30", "autograd>=1.7"],
    },
    entry_points={"console_scripts": ["minigen = minigen.cli:program"]},
    classifiers=[
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
