package embedded

// unfinishedFile lies in a folder into which a backup is being restored.
const unfinishedFile = "NEARBY-UNFINISHED"
