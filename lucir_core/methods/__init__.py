"""The methods by name. Each is one file that wires head, losses, teacher and fine-tune over the shared parts."""

from lucir_core.methods.base import METHODS, IncrementalMethod, create_method, register_method
from lucir_core.methods.bic import BiasCorrection
from lucir_core.methods.der import ExpandableRepresentation
from lucir_core.methods.eeil import EndToEnd
from lucir_core.methods.finetune import Finetune
from lucir_core.methods.icarl import Icarl
from lucir_core.methods.icarl_original import IcarlOriginalLoss
from lucir_core.methods.joint import Joint
from lucir_core.methods.lucir import Lucir
from lucir_core.methods.lwf import Lwf

__all__ = [
    "METHODS",
    "BiasCorrection",
    "EndToEnd",
    "ExpandableRepresentation",
    "Finetune",
    "Icarl",
    "IcarlOriginalLoss",
    "IncrementalMethod",
    "Joint",
    "Lucir",
    "Lwf",
    "create_method",
    "register_method",
]
