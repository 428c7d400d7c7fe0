"""From raw features to the inputs of a model that `esmm_gpu export` wrote.  Needs NumPy; xxhash for text or hashed ids.

    session = onnxruntime.InferenceSession("model.onnx")
    encoder = Encoder(session.get_modelmeta().custom_metadata_map["esmm"], "model.vocab")
    feed = encoder.encode(
        samples=[{"205": ["83121"], "210": {"17": 0.69, "4": 1.0}}, {"205": ["99"]}],  # one per impression
        common=[{"101": ["31319"]}])                                                     # one per user
    pctr, pcvr, pctcvr = session.run(["pctr", "pcvr", "pctcvr"], feed)
"""
import json
from pathlib import Path

import numpy as np


def feature_id(token):
    """The 64-bit id of a token: its number, else the hash of its text with the top bit set."""
    token = str(token)
    if token.isascii() and token.isdigit() and (token == "0" or token[0] != "0") and int(token) < 1 << 63:
        return int(token)
    import xxhash
    return xxhash.xxh3_64_intdigest(token.encode()) | 1 << 63


class Vocabulary:
    """One embedding table's rows by feature id; 0 is the row of unknown ids."""

    def __init__(self, field, directory):
        self.rows, self.hashed = field["rows"], field["encoding"] == "hash"
        if self.hashed:
            return
        name = "".join(chr(b) if chr(b).isalnum() and b < 128 or chr(b) in "_-" else f"%{b:02X}"
                       for b in field["table"].encode())
        ids = np.fromfile(Path(directory) / f"{name}.ids", dtype="<u8")  # ids[i] has row i + 1
        self.order = np.argsort(ids)
        self.sorted = ids[self.order]

    def row(self, token):
        identifier = feature_id(token)
        if self.hashed:
            import xxhash
            return xxhash.xxh3_64_intdigest(identifier.to_bytes(8, "little")) % self.rows
        place = np.searchsorted(self.sorted, np.uint64(identifier))
        found = place < len(self.sorted) and int(self.sorted[place]) == identifier
        return int(self.order[place]) + 1 if found else 0


class Encoder:
    """`description`: the metadata entry "esmm" of the model; `vocab`: the directory exported beside it."""

    def __init__(self, description, vocab):
        description = json.loads(description)
        self.fields = {side: description[f"{side}_fields"] for side in ("sample", "common")}
        self.dense = description["dense"]
        self.vocabularies = {}
        for field in self.fields["sample"] + self.fields["common"]:
            if field["table"] not in self.vocabularies:
                self.vocabularies[field["table"]] = Vocabulary(field, vocab)

    def _side(self, side, rows):
        """`rows`: per row a dict from field to its tokens, or to a dict from token to value."""
        ids, offsets, values = [], [0], []
        for row in rows:
            for field in self.fields[side]:
                bag = row.get(field["name"], ())
                for token in bag:
                    ids.append(self.vocabularies[field["table"]].row(token))
                    values.append(bag[token] if isinstance(bag, dict) else 1.0)
                offsets.append(len(ids))
        return {f"{side}_ids": np.array(ids, np.int64), f"{side}_offsets": np.array(offsets, np.int64),
                f"{side}_values": np.array(values, np.float32)}

    def encode(self, samples, common=None, common_row=None):
        """`samples`: one dict per impression; dense columns by name among them, left out: missing. `common`: one dict
        per user; `common_row`: the user of each impression, 0 for all where left out. Returns every input that the
        model could have; `only` picks those that it has."""
        feed = self._side("sample", samples) if self.fields["sample"] else {}
        if self.fields["common"]:
            feed.update(self._side("common", common or [{}]))
            feed["common_row"] = np.array([0] * len(samples) if common_row is None else common_row, np.int64)
        if self.dense:
            feed["dense"] = np.array([[row.get(name, np.nan) for name in self.dense] for row in samples], np.float32)
        return feed


def only(session, feed):
    """The part of `feed` that an onnxruntime session takes: a model without weighted sums reads no values."""
    names = {i.name for i in session.get_inputs()} | {i.name for i in session.get_overridable_initializers()}
    return {name: value for name, value in feed.items() if name in names}
