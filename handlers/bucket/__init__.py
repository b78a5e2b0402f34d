"""What lies in the bucket besides versions: names, documents of updates, requests, reports. No torch, no threads."""
