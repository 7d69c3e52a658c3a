"""The commands of `csor` that belong to no other room, one file each. `app.cli` names them and loads each when it is called."""
