"""The compiled core: no GIL, no allocation inside loops, nothing imported from the Python side."""
