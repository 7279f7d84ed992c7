def test_the_paths_of_a_folder_are_made_when_they_are_asked_for(tmp_path):
    from t2ibench.data.listing import Below

    paths = Below(tmp_path, ["a.png", "b/c.png", "d.png"])
    assert [*paths] == [tmp_path / "a.png", tmp_path / "b/c.png", tmp_path / "d.png"]
    assert [*paths[1:]] == [tmp_path / "b/c.png", tmp_path / "d.png"]
    assert (len(paths), paths[-1], paths == Below(tmp_path, ["a.png"])) == (3, tmp_path / "d.png", False)
