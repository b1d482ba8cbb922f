"""The version of this package, said once: the package metadata and CONNECT read it here."""

__version__ = "0.1.0"
