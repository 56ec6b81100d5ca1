"""The console without a screen: plain lines for scripts and for screen readers."""
