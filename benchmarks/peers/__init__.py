"""The peers' adapters, one in each file. Each imports its own library, and no other's."""
