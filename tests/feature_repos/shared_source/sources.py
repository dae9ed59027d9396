from feast import FileSource

# A folder of files, as Spark leaves it.
clicks = FileSource(name="clicks", path="data/clicks", timestamp_field="ts")
