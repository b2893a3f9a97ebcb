"""Writes random messages of a descriptor set: as protobuf's own JSON in both naming styles, in binary, and with defaults.

Usage: random_messages.py DESCRIPTOR_SET MESSAGE COUNT SEED > lines
"""
import base64
import json
import random
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor as F

TEXTS = ["", "a", "é", "😀", "\"", "\\", "\n", "\t\u0001", "</script>", "'; DROP TABLE t; --", "null", "NaN", "\u2028", "0"]
RANGES = {
    F.TYPE_INT32: (-2**31, 2**31 - 1), F.TYPE_SINT32: (-2**31, 2**31 - 1), F.TYPE_SFIXED32: (-2**31, 2**31 - 1),
    F.TYPE_UINT32: (0, 2**32 - 1), F.TYPE_FIXED32: (0, 2**32 - 1),
    F.TYPE_INT64: (-2**63, 2**63 - 1), F.TYPE_SINT64: (-2**63, 2**63 - 1), F.TYPE_SFIXED64: (-2**63, 2**63 - 1),
    F.TYPE_UINT64: (0, 2**64 - 1), F.TYPE_FIXED64: (0, 2**64 - 1),
}


def text(r):
    return "".join(r.choice(TEXTS) for _ in range(r.randrange(4)))


def double(r):
    return r.choice([0.0, -0.0, 1.5, -2.25, 1e300, 5e-324, 0.1, 12345678.9, float("nan"), float("inf"), float("-inf"),
                     r.uniform(-180, 180), r.randrange(1000)])


def single(r):
    value = r.choice([0.0, 1.5, 0.1, 3.0e38, 1e-45, float("nan"), float("-inf"), r.uniform(-180, 180)])
    return struct.unpack("f", struct.pack("f", value))[0]


def plain(r, depth=0):
    kind = r.randrange(6 if depth < 3 else 4)
    if kind == 0:
        return None
    if kind == 1:
        return r.choice([0, -1, 1.5, 1e17, 12345.25])
    if kind == 2:
        return text(r)
    if kind == 3:
        return r.random() < 0.5
    if kind == 4:
        return [plain(r, depth + 1) for _ in range(r.randrange(3))]
    return {text(r): plain(r, depth + 1) for _ in range(r.randrange(3))}


def scalar(r, field):
    if field.type in RANGES:
        least, most = RANGES[field.type]
        return r.choice([0, 1, least, most, r.randint(least, most), min(most, 2**53 + 1)])
    if field.type == F.TYPE_DOUBLE:
        return double(r)
    if field.type == F.TYPE_FLOAT:
        return single(r)
    if field.type == F.TYPE_BOOL:
        return r.random() < 0.5
    if field.type == F.TYPE_STRING:
        return text(r)
    if field.type == F.TYPE_BYTES:
        return bytes(r.randrange(256) for _ in range(r.randrange(6)))
    if field.type == F.TYPE_ENUM:
        return r.choice([value.number for value in field.enum_type.values] + [7])
    raise ValueError(field.name)


def fill(r, message):
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        message.seconds = r.choice([0, -62135596800, 253402300799, r.randint(0, 2**32)])
        message.nanos = r.choice([0, 123000000, 123456000, 999999999])
    elif name == "google.protobuf.Duration":
        sign = r.choice([1, -1])
        message.seconds = sign * r.choice([0, 3, 315576000000 - 1, r.randrange(10**6)])
        message.nanos = sign * r.choice([0, 500000000, 1, 123456000])
    elif name == "google.protobuf.FieldMask":
        message.paths.extend(r.sample(["a_b", "c", "position.latitude"], r.randrange(3)))
    elif name == "google.protobuf.Struct":
        json_format.ParseDict({text(r): plain(r) for _ in range(r.randrange(3))}, message)
    elif name == "google.protobuf.ListValue":
        json_format.ParseDict([plain(r) for _ in range(r.randrange(3))], message)
    elif name == "google.protobuf.Value":
        json_format.ParseDict(plain(r), message)
    else:
        for field in message.DESCRIPTOR.fields:
            if r.random() < 0.5:
                put(r, message, field)


def put(r, message, field):
    target = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        for _ in range(r.randrange(3)):
            if value.message_type is None:
                target[scalar(r, key)] = scalar(r, value)
            else:
                fill(r, target[scalar(r, key)])
    elif field.is_repeated:
        for _ in range(r.randrange(4)):
            if field.message_type is None:
                target.append(scalar(r, field))
            else:
                fill(r, target.add())
    elif field.message_type is not None:
        target.SetInParent()
        fill(r, target)
    else:
        setattr(message, field.name, scalar(r, field))


def main():
    path, name, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    files = descriptor_pb2.FileDescriptorSet.FromString(open(path, "rb").read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    r = random.Random(seed)
    done = 0
    while done < count:
        message = kind()
        fill(r, message)
        try:
            camel = json_format.MessageToJson(message, indent=None)
        except json_format.SerializeToJsonError:
            continue
        full = json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        print(json.dumps({
            "camel": camel,
            "proto": json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None),
            "binary": base64.b64encode(message.SerializeToString()).decode(),
            "full": full,
        }))
        done += 1


main()
