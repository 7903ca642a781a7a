"""The script that Streamlit runs for each session.

A decoding process, which is spawned, imports it under another name, and needs nothing of it.
"""

if __name__ == "__main__":
    from monitoring.app import navigation

    navigation.show()
