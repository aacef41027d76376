import json

from benchmarks import tables


def test_the_readme_has_the_tables_that_were_measured():
    assert tables.README.read_text() == tables.with_tables(tables.README.read_text())


def test_every_result_with_a_table_is_in_the_readme():
    shown = set(tables._TABLE.findall(tables.README.read_text()))
    kept = {file.stem for file in tables.RESULTS.glob("*.json") if "rows" in json.loads(file.read_text())}
    assert kept - {"paper-table2"} == shown  # that one is in docs/paper.md


def test_publishing_replaces_the_old_table_and_nothing_else(tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("# A\n\n<!-- results/speed.json -->\n| old |\n| --- |\n| 1 |\n\nAfter it.\n")
    monkeypatch.setattr(tables, "README", readme)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    tables.publish("speed", [{"file": "a", "frames": 12000, "ms": 1.5}, {"file": "b", "frames": 7, "ms": 0.25}])
    table = "| file | frames | ms |\n| --- | --- | --- |\n| a | 12,000 | 1.5 |\n| b | 7 | 0.25 |\n"
    assert readme.read_text() == f"# A\n\n<!-- results/speed.json -->\n{table}\nAfter it.\n"
    assert capsys.readouterr().out == table
    assert json.loads((tmp_path / "speed.json").read_text())["rows"][0]["frames"] == 12000
