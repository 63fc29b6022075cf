"""The real engine in worlds of accidents: workers that die or freeze, a faulty store, and rules that must hold."""
