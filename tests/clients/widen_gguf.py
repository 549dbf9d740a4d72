"""Rewrites a GGUF model with every quantised tensor as 16-bit floats.

argv: FROM, TO. The prebuilt model server was compiled for processors with AVX-VNNI and uses it for quantised weights
only; widened, the same model runs on any processor with AVX-512.
"""

import os
import sys

import numpy
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.constants import GGMLQuantizationType, LlamaFileType
from gguf.quants import dequantize

SKIPPED = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")


def copy_fields(reader, writer):
    for field in reader.fields.values():
        if field.name.startswith(SKIPPED):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)


def main():
    source, target = sys.argv[1:3]
    reader = GGUFReader(source)
    part = target + ".part"
    writer = GGUFWriter(part, reader.fields["general.architecture"].contents())
    copy_fields(reader, writer)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    plain = (GGMLQuantizationType.F32, GGMLQuantizationType.F16)
    for tensor in reader.tensors:
        data = tensor.data
        if tensor.tensor_type not in plain:
            data = dequantize(data, tensor.tensor_type).astype(numpy.float16)
        writer.add_tensor(tensor.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, target)


main()
