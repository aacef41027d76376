"""What the converter made of a TFLite file, read from the file itself."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.tools import flatbuffer_utils

from acne_export.validation import ProofError

_VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


def prove_operations(file: bytes) -> None:
    """Looks for operations that a device's TFLite does not have.

    Raises:
        ProofError: There is a Flex operation or a variable.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    codes = [code.customCode.decode() if code.customCode else _builtin(code) for code in model.operatorCodes]
    flex = sorted({name for name in codes if name.startswith("Flex")})
    if flex:
        raise ProofError(f"the file needs TensorFlow itself for {', '.join(flex)}: no TFLite on a phone has it")
    variables = sorted(_VARIABLES & set(codes))
    if variables:
        raise ProofError(f"the file keeps variables ({', '.join(variables)}) where its weights should be")


def prove_integer_only(file: bytes) -> None:
    """Looks for what was left unquantized in a full int8 file.

    Raises:
        ProofError: A tensor between input and outputs is float32.
    """
    interpreter = Interpreter(model_content=file)
    ends = {detail["index"] for detail in [*interpreter.get_input_details(), *interpreter.get_output_details()]}
    for detail in interpreter.get_tensor_details():
        if detail["dtype"] is np.float32 and detail["index"] not in ends:
            raise ProofError(f"tensor {detail['name']!r} is still float32: the converter left an operation unquantized")


def _builtin(code: flatbuffer_utils.schema_fb.OperatorCodeT) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    operators = vars(flatbuffer_utils.schema_fb.BuiltinOperator)
    return next((name for name, value in operators.items() if value == number), str(number))
